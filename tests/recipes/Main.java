import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

public class Main {
    record Point(int x) {}

    public static void main(String[] args) throws Exception {
        System.out.println(IntStream.range(0, 3).boxed().map(Point::new).collect(Collectors.toList()));
        var thread = new Thread(() -> System.out.println(BigInteger.TWO.pow(70)));
        thread.start();
        thread.join();
        System.out.println("\u00fc " + Files.exists(Path.of("/bin/sh")) + " " + args.length);
    }
}
