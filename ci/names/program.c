/* A program whose calls into the library have prefixed names. */

#include "session.h"

int main(void) {
    return session();
}
