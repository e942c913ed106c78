-- @ box: --memory 64MiB
-- @ verdict: memory_limit
local t = {} while true do t[#t + 1] = ("x"):rep(1000000) .. #t end
