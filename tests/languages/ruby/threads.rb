require "timeout"; require "set"
q = Queue.new; m = Mutex.new; t = 0
ths = 8.times.map { |i| Thread.new { 1000.times { m.synchronize { t += i } }; q << i } }
ths.each(&:join)
puts t, q.size
f = Fiber.new { Fiber.yield 1; 2 }
p f.resume, f.resume
begin
  Timeout.timeout(0.01) { sleep }
rescue Timeout::Error => e
  puts e.class
end
begin
  Integer("x")
rescue ArgumentError => e
  puts e.message
ensure
  puts "ensure"
end
puts Process.wait2(fork { exit! 7 })[1].exitstatus
r, w = IO.pipe
w.puts "x"; puts r.gets
exit 42
