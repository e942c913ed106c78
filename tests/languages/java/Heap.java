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

public class Heap {
    public static void main(String[] args) throws Exception {
        List<int[]> l = new ArrayList<>(); for (int i = 0; i < 200; i++) { int[] a = new int[200_000]; a[i] = i; l.add(a); } Map<Integer, String> m = new HashMap<>(); for (int i = 0; i < 300_000; i++) m.put(i, "v" + i); for (int i = 0; i < 3000; i++) { byte[] g = new byte[1 << 20]; g[i] = 1; } System.out.println(l.size() + " " + m.size() + " " + m.get(4711));
    }
}
