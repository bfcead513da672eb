/* main.c - the program's door: the only place that ends the process. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return nx_cli_main(argc, argv);
}
