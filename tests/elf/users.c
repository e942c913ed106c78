/* What the generated files answer: one line a fact. */
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
int main(void)
{
    struct passwd *user = getpwuid(1000), *nobody = getpwnam("nobody");
    struct group *group = getgrgid(1000);
    printf("%s %s %s\n", user ? user->pw_name : "?", user ? user->pw_dir : "?", group ? group->gr_name : "?");
    printf("%d %s\n", nobody ? (int)nobody->pw_uid : -1, getpwnam("root") ? "root" : "no root");
    printf("%s\n", gethostbyname("localhost") ? "localhost" : "no localhost");
    return 0;
}
