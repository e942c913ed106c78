-- @ stdin: megabytes
local t, c = 0, 0 for l in io.lines() do t = t + tonumber(l:match("^%d+")) c = c + 1 end print(t, c)
