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

public class Refused {
    interface Act { void go() throws Exception; }
    static void attempt(String name, Act act) { try { act.go(); System.out.println(name + " allowed"); } catch (Throwable e) { System.out.println(name + " refused"); } }
    public static void main(String[] args) throws Exception {
        attempt("spawn", () -> { if (new ProcessBuilder("/bin/true").start().waitFor() != 0) throw new Exception(); }); attempt("tcp", () -> new java.net.ServerSocket(0).close()); attempt("udp", () -> new java.net.DatagramSocket().close()); Path own = Paths.get(System.getProperty("java.class.path")).toAbsolutePath().getParent(); attempt("write", () -> java.nio.file.Files.writeString(own.resolve("made"), "x")); if (args.length > 0) return; attempt("shadow", () -> java.nio.file.Files.readString(Paths.get("/etc/shadow"))); attempt("library", () -> System.load("/etc/passwd"));
    }
}
