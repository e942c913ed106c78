s = "Ünïcödé ☺ on 2024-02-29"
puts s.length, s.upcase, s.encoding, s[/(\d{4})-(\d\d)/], s.unicode_normalize(:nfd).length, Encoding.default_external
puts 2**300, 0.1 + 0.2, 1/3r, format("%.17g %e", 0.1, 1e22), Math.sin(1e22), 10.pow(10**9, 998244353)
def down(n) = down(n + 1)
begin
  down(0)
rescue SystemStackError => e
  puts e.class
end
puts (1..1_000_000).lazy.select(&:even?).map { _1 * 3 }.first(3).inspect, Array.new(500_000) { |i| i.to_s }.uniq.size
