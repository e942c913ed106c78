local words = {}
for word in io.read("a"):gmatch("%a+") do words[#words + 1] = word end
table.sort(words)
print(table.concat(words, ","), #arg, arg[1], math.type(3), utf8.char(252), string.format("%5.2f", math.pi))
print(select(2, pcall(error, "x")), coroutine.wrap(function() coroutine.yield(1) end)(), os.time() > 0)
