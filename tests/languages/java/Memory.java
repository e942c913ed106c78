// @ box: --memory 128MiB
// @ verdict: nonzero_exit
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

public class Memory {
    public static void main(String[] args) throws Exception {
        List<byte[]> l = new ArrayList<>(); try { for (;;) l.add(new byte[1 << 20]); } finally { System.out.println("full"); }
    }
}
