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

public class Unicode {
    public static void main(String[] args) throws Exception {
        String s = "Zebra äpfel 日本語 🙂 ß"; System.out.println(s + " " + s.length() + " " + s.codePointCount(0, s.length()) + " " + s.toUpperCase(Locale.ROOT) + " " + s.getBytes(StandardCharsets.UTF_8).length + " " + Charset.defaultCharset()); System.out.println(Normalizer.normalize("é", Normalizer.Form.NFD).length() + " " + String.format(Locale.GERMANY, "%,.2f", 1234567.891) + " " + Character.getName(233)); String[] w = s.split(" "); Arrays.sort(w, Collator.getInstance(Locale.GERMAN)); System.out.println(Arrays.toString(w));
    }
}
