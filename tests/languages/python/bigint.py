import math, decimal, fractions, sys
print(2 ** 3000 % (10 ** 40), math.factorial(300) % 10 ** 9 + 7, pow(3, 10 ** 18, 998244353))
decimal.getcontext().prec = 60
print(decimal.Decimal(2).sqrt(), fractions.Fraction(355, 113) + fractions.Fraction(1, 3), math.comb(100, 50), math.isqrt(10 ** 50))
sys.set_int_max_str_digits(0)
print(len(str(7 ** 40000)))
