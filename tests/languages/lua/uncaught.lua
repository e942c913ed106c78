print("start") io.stdout:flush() local x = nil x.y = 1
