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

public class Expressions {
    public static void main(String[] args) throws Exception {
        String s = "on 2024-02-29 and 1999-12-31, Ünïcödé".repeat(50); Matcher m = Pattern.compile("(?<y>\\d{4})-(\\d\\d)").matcher(s); int n = 0; while (m.find()) n += Integer.parseInt(m.group("y")); System.out.println(n + " " + s.replaceAll("\\d+", "#").substring(0, 20) + " " + Arrays.toString("a1b22c".split("\\d+")) + Pattern.compile("\\p{L}+", Pattern.UNICODE_CHARACTER_CLASS).matcher(s).results().count());
    }
}
