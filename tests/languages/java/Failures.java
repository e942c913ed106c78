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

public class Failures {
    public static void main(String[] args) throws Exception {
        Runnable[] all = {() -> { Object o = "x"; Integer i = (Integer) o; }, () -> { int[] a = new int[0]; a[3] = 1; }, () -> System.out.println(1 / (System.nanoTime() > 0 ? 0 : 1)), () -> Integer.parseInt("x"), () -> List.of(1).add(2), () -> { String s = null; s.length(); }, () -> Optional.empty().orElseThrow()}; for (Runnable r : all) try { r.run(); } catch (RuntimeException e) { System.out.println(e.getClass().getSimpleName() + " " + e.getMessage()); } finally { System.out.print("."); } try (Closeable c = () -> System.out.println("closed")) { throw new IOException("io", new Exception("cause")); } catch (IOException e) { System.out.println(e + " " + e.getCause()); }
    }
}
