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

public class Uncaught {
    public static void main(String[] args) throws Exception {
        System.out.println("start"); throw new IllegalStateException("nobody catches this");
    }
}
