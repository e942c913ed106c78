import java.io.PrintStream;
import java.text.Collator;
import java.text.DateFormatSymbols;
import java.text.NumberFormat;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.FormatStyle;
import java.util.Calendar;
import java.util.Currency;
import java.util.Locale;

/** How languages write, and what things are called in some. */
public class Formats {
    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, false, "UTF-8");
        ZonedDateTime time = ZonedDateTime.of(2024, 7, 1, 13, 5, 9, 0, ZoneId.of("Europe/Berlin"));
        String[] all = {"am-ET", "bg-BG", "bn-BD", "eu-ES", "fa-IR", "fi-FI", "ga-IE", "he-IL", "hr-HR", "is-IS",
            "ka-GE", "km-KH", "nb-NO", "sk-SK", "sw-KE", "ta-IN", "ur-PK", "yo-NG", "zu-ZA"};
        for (String tag : all) {
            Locale locale = Locale.forLanguageTag(tag);
            DateFormatSymbols symbols = new DateFormatSymbols(locale);
            out.println(String.join("|", locale.toLanguageTag(),
                DateTimeFormatter.ofLocalizedDate(FormatStyle.FULL).withLocale(locale).format(time),
                NumberFormat.getInstance(locale).format(-1234567.891),
                NumberFormat.getCurrencyInstance(locale).format(1234.5),
                Currency.getInstance("EUR").getDisplayName(locale),
                String.valueOf(Calendar.getInstance(locale).getFirstDayOfWeek()),
                String.valueOf(Collator.getInstance(locale).compare("\u00e4", "z")),
                String.join(",", symbols.getWeekdays()), String.join(",", symbols.getMonths())));
        }
        for (String tag : new String[] {"en-GB", "de-DE", "fr-CA", "es-MX", "zh-TW", "pt-BR", "ru-RU", "ar-EG"}) {
            Locale locale = Locale.forLanguageTag(tag);
            out.println(locale.getDisplayName(locale) + "|" + Locale.GERMANY.getDisplayCountry(locale) + "|"
                + DateTimeFormatter.ofPattern("zzzz", locale).format(time));
        }
        out.flush();
    }
}
