io.stdout:setvbuf("no") local function say(n, ok) print(n .. (ok and " allowed" or " refused")) end
say("spawn", (os.execute("/bin/true")))
local p = io.popen("echo x") say("popen", p and p:read("a") == "x\n")
local dir = arg[0]:match("^(.*)/") say("write", io.open(dir .. "/made", "w"))
if #arg > 0 then return end
say("shadow", io.open("/etc/shadow")) say("library", package.loadlib("/etc/passwd", "x"))
