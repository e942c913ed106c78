print(utf8.len("é☺"), ("abc 2024-02-29"):match("(%d+)-(%d+)"), string.format("%.17g %e %q", 0.1, 1/3, "a\nb"), math.maxinteger, 7 // 2, 1 << 40, os.date("!%F %A", 1709208000))
local function f(n) return n == 0 and 0 or 1 + f(n - 1) end
print(f(10000), select("#", table.unpack({}, 1, 100)))
print(select(2, pcall(function() local function g() return 1 + g() end return g() end)):match("stack overflow"))
print(pcall(error, {code = 1}), select(2, pcall(function() return nil + 1 end)):match("arithmetic"))
local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) print(co(), co(), co())
local t = {} for i = 1, 300000 do t[i] = tostring(i) end table.sort(t) print(#t, t[1], t[#t])
local n = os.tmpname() local h = io.open(n, "w") h:write(("x"):rep(1000)) h:close() print(#io.open(n):read("a"), os.remove(n))
os.exit(42)
