require 'bigdecimal'
require 'date'
require 'digest'
require 'json'
require 'matrix'
require 'openssl'
require 'prime'
require 'set'
require 'socket'
require 'stringio'
require 'time'
require 'yaml'
require 'zlib'

puts JSON.generate({ a: [1, 2] }), Set.new([1, 1]).size, (BigDecimal('0.1') + BigDecimal('0.2')).to_s
puts Digest::SHA256.hexdigest('x')[0, 8], OpenSSL::Digest::SHA256.hexdigest('x')[0, 8]
puts Date.parse('2024-02-29').next_day, YAML.dump([1]).lines.last, Prime.first(3).inspect
puts Matrix[[1, 2], [3, 4]].det, Zlib::Inflate.inflate(Zlib::Deflate.deflate('z'))
Thread.new { puts 'thread' }.join
puts ARGV.inspect, STDIN.read.upcase, Encoding.default_external
begin
  raise 'message'
rescue StandardError => e
  puts e.full_message(highlight: false, order: :top)
end
