puts "start"; STDOUT.flush; nil.no_such_method
