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

public class Zones {
    public static void main(String[] args) throws Exception {
        for (String z : new String[] {"Europe/Berlin", "America/New_York", "Asia/Kathmandu"}) System.out.println(ZonedDateTime.of(2024, 7, 1, 12, 0, 0, 0, ZoneId.of(z))); System.out.println(LocalDate.of(2024, 2, 29).plusYears(1) + " " + Duration.ofMinutes(135) + " " + Instant.ofEpochSecond(1709208000)); System.out.println(new SimpleDateFormat("EEEE d MMMM yyyy", Locale.FRANCE).format(new Date(0)));
    }
}
