require "tempfile"; require "json"; require "digest"; require "time"; require "bigdecimal"; require "csv" rescue nil
puts File.read(__FILE__).size
Dir.mktmpdir { |d| File.write(d + "/f", "line\n" * 1000); File.rename(d + "/f", d + "/g"); puts Dir.children(d).inspect, File.size(d + "/g") } rescue puts $!.class
puts JSON.generate({ "a" => [1, nil, "é"] }), Digest::SHA256.hexdigest("x"), Time.at(1709208000).utc.iso8601, BigDecimal("2").sqrt(30).round(30).to_s
