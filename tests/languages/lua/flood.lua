-- @ box: --output 1MiB
-- @ verdict: output_limit
while true do print("more of the same") end
