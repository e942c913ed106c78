# @ stdin: megabytes
t = 0; c = Hash.new(0)
STDIN.each_line { |l| w = l.split; t += w[0].to_i; c[w[-1]] += 1 }
puts t, c.sort.inspect
