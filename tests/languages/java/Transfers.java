import java.io.*;
import java.nio.channels.*;
import java.nio.file.*;

public class Transfers {
    public static void main(String[] args) throws Exception {
        Path from = java.nio.file.Files.createTempFile("x", "y"), to = java.nio.file.Files.createTempFile("x", "z"); java.nio.file.Files.write(from, new byte[300000]); try (FileChannel in = FileChannel.open(from, StandardOpenOption.READ); FileChannel out = FileChannel.open(to, StandardOpenOption.WRITE)) { long done = 0; while (done < in.size()) { done += in.transferTo(done, in.size() - done, out); } System.out.println(done + " " + out.size()); } java.nio.file.Files.delete(from); java.nio.file.Files.delete(to);
    }
}
