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

public class Threads {
    public static void main(String[] args) throws Exception {
        AtomicLong n = new AtomicLong(); ExecutorService p = Executors.newFixedThreadPool(8); List<Future<Long>> f = new ArrayList<>(); for (long i = 0; i < 50; i++) { long k = i; f.add(p.submit(() -> n.addAndGet(k))); } for (var x : f) x.get(); p.shutdown(); System.out.println(n + " " + p.awaitTermination(5, TimeUnit.SECONDS)); System.out.println(IntStream.range(0, 1_000_000).parallel().filter(x -> x % 7 == 0).count()); System.out.println(CompletableFuture.supplyAsync(() -> 20).thenCombine(CompletableFuture.supplyAsync(() -> 22), Integer::sum).get()); Object o = new Object(); boolean[] go = {false}; Thread t = new Thread(() -> { synchronized (o) { go[0] = true; o.notifyAll(); } }); synchronized (o) { t.start(); while (!go[0]) o.wait(); } t.join(); System.out.println(go[0]);
    }
}
