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

public class Recursion {
    static long ack(long m, long n) { return m == 0 ? n + 1 : n == 0 ? ack(m - 1, 1) : ack(m - 1, ack(m, n - 1)); }
    static int down(int n) { return down(n + 1) + 1; }
    public static void main(String[] args) throws Exception {
        System.out.println(ack(2, 200)); try { down(0); } catch (StackOverflowError e) { System.out.println("overflow"); }
    }
}
