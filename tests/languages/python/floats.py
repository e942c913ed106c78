import math, random, statistics
for x in (0.1, 1 / 3, 1e308 * 10, -0.0, 5e-324, 123456789.123456789, 1e16, 2.5):
    print(repr(x), f"{x:.3f}", f"{x:e}", f"{x:g}", round(x, 2) if math.isfinite(x) else x, x.hex())
random.seed(42)
print([random.random() for _ in range(3)], random.sample(range(100), 5), math.sin(1e22), math.fsum([0.1] * 10), statistics.stdev([1, 2, 4]))
