import java.io.*;
import java.math.*;
import java.nio.charset.*;
import java.nio.file.*;
import java.text.*;
import java.time.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.regex.*;
import java.util.stream.*;

public class Numbers {
    public static void main(String[] args) throws Exception {
        System.out.println(BigInteger.TWO.pow(300) + " " + BigInteger.valueOf(3).modPow(BigInteger.TEN.pow(18), BigInteger.valueOf(998244353)) + " " + new BigDecimal(2).sqrt(new MathContext(60))); for (double d : new double[] {0.1, 1.0 / 3, 1e308 * 10, -0.0, 5e-324, 123456789.123456789, 1e22}) System.out.printf("%s %.3f %e %a%n", d, d, d, d); System.out.println(Math.sin(1e22) + " " + new Random(42).nextInt() + " " + Long.MIN_VALUE + " " + Integer.toUnsignedString(-1)); try { Math.addExact(Integer.MAX_VALUE, 1); } catch (ArithmeticException e) { System.out.println(e.getMessage()); }
    }
}
