#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <locale.h>
#include <wchar.h>
#include <wctype.h>
int main(void) { printf("%s\n", setlocale(LC_ALL, "C")); printf("%d %ls\n", (int)wcslen(L"abc"), L"abc"); printf("%d %s\n", iswalpha(L'a') != 0, localeconv()->decimal_point); printf("%d\n", strcoll("a", "b") < 0); return 0; }
