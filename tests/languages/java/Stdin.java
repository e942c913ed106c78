// @ stdin: megabytes
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

public class Stdin {
    public static void main(String[] args) throws Exception {
        BufferedReader r = new BufferedReader(new InputStreamReader(System.in)); long t = 0; TreeMap<String, Integer> m = new TreeMap<>(); for (String l; (l = r.readLine()) != null; ) { String[] w = l.split(" "); t += Long.parseLong(w[0]); m.merge(w[w.length - 1], 1, Integer::sum); } System.out.println(t + " " + m);
    }
}
