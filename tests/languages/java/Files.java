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

public class Files {
    public static void main(String[] args) throws Exception {
        Path d = java.nio.file.Files.createTempDirectory("x"); java.nio.file.Files.createDirectories(d.resolve("a/b")); java.nio.file.Files.writeString(d.resolve("a/b/f"), "line\n".repeat(1000)); java.nio.file.Files.move(d.resolve("a/b/f"), d.resolve("g")); try (var s = java.nio.file.Files.walk(d)) { System.out.println(s.map(p -> d.relativize(p).toString()).sorted().collect(Collectors.toList())); } System.out.println(java.nio.file.Files.size(d.resolve("g")) + " " + java.nio.file.Files.lines(d.resolve("g")).count()); File t = File.createTempFile("y", "z"); try (RandomAccessFile r = new RandomAccessFile(t, "rw")) { r.writeUTF("é"); r.seek(0); System.out.println(r.readUTF() + r.length()); } System.out.println(t.delete()); try { new FileInputStream("/nowhere"); } catch (FileNotFoundException e) { System.out.println(e.getMessage()); } String own = System.getProperty("java.class.path"); System.out.println(new java.util.zip.ZipFile(own).size() > 10);
    }
}
