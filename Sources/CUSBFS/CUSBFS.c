#include "CUSBFS.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <linux/usbdevice_fs.h>

#define SAME_PLACE(ours, mine, theirs, its) \
  _Static_assert(offsetof(ours, mine) == offsetof(struct theirs, its), "layout of usbdevice_fs.h")

SAME_PLACE(cusbfs_urb, status, usbdevfs_urb, status);
SAME_PLACE(cusbfs_urb, flags, usbdevfs_urb, flags);
SAME_PLACE(cusbfs_urb, buffer, usbdevfs_urb, buffer);
SAME_PLACE(cusbfs_urb, buffer_length, usbdevfs_urb, buffer_length);
SAME_PLACE(cusbfs_urb, actual_length, usbdevfs_urb, actual_length);
SAME_PLACE(cusbfs_urb, error_count, usbdevfs_urb, error_count);
SAME_PLACE(cusbfs_urb, context, usbdevfs_urb, usercontext);
SAME_PLACE(cusbfs_control, timeout_ms, usbdevfs_ctrltransfer, timeout);
SAME_PLACE(cusbfs_control, data, usbdevfs_ctrltransfer, data);
SAME_PLACE(cusbfs_bulk, timeout_ms, usbdevfs_bulktransfer, timeout);
SAME_PLACE(cusbfs_bulk, data, usbdevfs_bulktransfer, data);
SAME_PLACE(cusbfs_ioctl, data, usbdevfs_ioctl, data);
_Static_assert(sizeof(cusbfs_urb) == sizeof(struct usbdevfs_urb), "layout of usbdevice_fs.h");
_Static_assert(sizeof(cusbfs_control) == sizeof(struct usbdevfs_ctrltransfer), "layout of usbdevice_fs.h");
_Static_assert(sizeof(cusbfs_bulk) == sizeof(struct usbdevfs_bulktransfer), "layout of usbdevice_fs.h");
_Static_assert(sizeof(cusbfs_ioctl) == sizeof(struct usbdevfs_ioctl), "layout of usbdevice_fs.h");
_Static_assert(sizeof(cusbfs_disconnect_claim) == sizeof(struct usbdevfs_disconnect_claim), "usbdevice_fs.h");
_Static_assert(CUSBFS_GET_DRIVER_BYTES == sizeof(struct usbdevfs_getdriver), "layout of usbdevice_fs.h");
_Static_assert(CUSBFS_CONNECT_INFO_BYTES == sizeof(struct usbdevfs_connectinfo), "layout of usbdevice_fs.h");
_Static_assert(CUSBFS_FLAG_SHORT_NOT_OK == USBDEVFS_URB_SHORT_NOT_OK, "usbdevice_fs.h");
_Static_assert(CUSBFS_FLAG_ZERO_PACKET == USBDEVFS_URB_ZERO_PACKET, "usbdevice_fs.h");
_Static_assert(CUSBFS_TYPE_BULK == USBDEVFS_URB_TYPE_BULK, "usbdevice_fs.h");
_Static_assert(CUSBFS_TYPE_CONTROL == USBDEVFS_URB_TYPE_CONTROL, "usbdevice_fs.h");
_Static_assert(CUSBFS_TYPE_INTERRUPT == USBDEVFS_URB_TYPE_INTERRUPT, "usbdevice_fs.h");
_Static_assert(CUSBFS_TYPE_ISOCHRONOUS == USBDEVFS_URB_TYPE_ISO, "usbdevice_fs.h");
_Static_assert(CUSBFS_ONLY_IF_DRIVER == USBDEVFS_DISCONNECT_CLAIM_IF_DRIVER, "usbdevice_fs.h");
_Static_assert(CUSBFS_EXCEPT_DRIVER == USBDEVFS_DISCONNECT_CLAIM_EXCEPT_DRIVER, "usbdevice_fs.h");

cusbfs_kind cusbfs_request_kind(uint64_t request) {
  // Some programs pass the number as an int, which arrives with its sign extended.
  switch ((uint32_t)request) {
    case USBDEVFS_CONTROL: return CUSBFS_CONTROL;
    case USBDEVFS_BULK: return CUSBFS_BULK;
    case USBDEVFS_RESETEP: return CUSBFS_RESET_ENDPOINT;
    case USBDEVFS_SETINTERFACE: return CUSBFS_SET_INTERFACE;
    case USBDEVFS_SETCONFIGURATION: return CUSBFS_SET_CONFIGURATION;
    case USBDEVFS_GETDRIVER: return CUSBFS_GET_DRIVER;
    case USBDEVFS_SUBMITURB: return CUSBFS_SUBMIT;
    case USBDEVFS_DISCARDURB: return CUSBFS_DISCARD;
    case USBDEVFS_REAPURB: return CUSBFS_REAP;
    case USBDEVFS_REAPURBNDELAY: return CUSBFS_REAP_NO_DELAY;
    case USBDEVFS_CLAIMINTERFACE: return CUSBFS_CLAIM;
    case USBDEVFS_RELEASEINTERFACE: return CUSBFS_RELEASE;
    case USBDEVFS_CONNECTINFO: return CUSBFS_CONNECT_INFO;
    case USBDEVFS_IOCTL: return CUSBFS_IOCTL;
    case USBDEVFS_RESET: return CUSBFS_RESET;
    case USBDEVFS_CLEAR_HALT: return CUSBFS_CLEAR_HALT;
    case USBDEVFS_DISCONNECT: return CUSBFS_DISCONNECT;
    case USBDEVFS_CONNECT: return CUSBFS_CONNECT;
    case USBDEVFS_GET_CAPABILITIES: return CUSBFS_GET_CAPABILITIES;
    case USBDEVFS_DISCONNECT_CLAIM: return CUSBFS_DISCONNECT_CLAIM;
    case USBDEVFS_GET_SPEED: return CUSBFS_GET_SPEED;
    default: return CUSBFS_OTHER;
  }
}

uint32_t cusbfs_capabilities(void) {
  return USBDEVFS_CAP_ZERO_PACKET | USBDEVFS_CAP_NO_PACKET_SIZE_LIM | USBDEVFS_CAP_BULK_SCATTER_GATHER |
         USBDEVFS_CAP_REAP_AFTER_DISCONNECT;
}

// The terminal's own calls are made of the kernel directly: in a process that was started with the preloaded library
// the C library's would be asked of the mock itself, which would wait for its own answer.
static long raw_ioctl(int fd, unsigned long request, const void *argument) {
  return syscall(SYS_ioctl, fd, request, argument);
}

static int raw_open(const char *path) {
  return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
}

void cusbfs_close(int fd) { (void)syscall(SYS_close, fd); }

int cusbfs_open_terminal(int *master, int *slave, char *name, size_t size) {
  int m = raw_open("/dev/ptmx");
  if (m < 0) return -1;
  int s = -1;
  int unlock = 0;
  unsigned int number = 0;
  struct termios settings;
  int failed = raw_ioctl(m, TIOCSPTLCK, &unlock) != 0 || raw_ioctl(m, TIOCGPTN, &number) != 0;
  if (!failed) {
    snprintf(name, size, "/dev/pts/%u", number);
    s = raw_open(name);
    failed = s < 0;
  }
  // TCGETS and TCSETS take the kernel's form of the settings, which the C library's begins with but is longer than.
  struct {
    tcflag_t input, output, control, local;
    cc_t line, characters[19];
  } kernel;
  _Static_assert(sizeof kernel == 36, "struct termios of asm-generic/termbits.h");
  if (!failed) failed = raw_ioctl(s, TCGETS, &kernel) != 0;
  if (!failed) {
    memset(&settings, 0, sizeof settings);
    settings.c_iflag = kernel.input;
    settings.c_oflag = kernel.output;
    settings.c_cflag = kernel.control;
    settings.c_lflag = kernel.local;
    cfmakeraw(&settings);
    kernel.input = settings.c_iflag;
    kernel.output = settings.c_oflag;
    kernel.control = settings.c_cflag;
    kernel.local = settings.c_lflag;
    failed = raw_ioctl(s, TCSETS, &kernel) != 0 || raw_ioctl(s, TCXONC, (void *)(intptr_t)TCOOFF) != 0;
  }
  if (failed) {
    int reason = errno;
    if (s >= 0) cusbfs_close(s);
    cusbfs_close(m);
    errno = reason;
    return -1;
  }
  *master = m;
  *slave = s;
  return 0;
}

void cusbfs_let_flow(int slave, int flows) {
  (void)raw_ioctl(slave, TCXONC, (void *)(intptr_t)(flows ? TCOON : TCOOFF));
}

int cusbfs_datagram_socket(void) { return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

static int address_of(const char *path, struct sockaddr_un *address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address->sun_path, path);
  return 0;
}

int cusbfs_send_datagram(int fd, const char *path, const void *bytes, size_t count) {
  struct sockaddr_un address;
  if (address_of(path, &address) != 0) return -1;
  ssize_t sent = sendto(fd, bytes, count, MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof address);
  return sent == (ssize_t)count ? 0 : -1;
}

int cusbfs_is_listened_to(const char *path) {
  struct sockaddr_un address;
  if (address_of(path, &address) != 0) return -1;
  int fd = cusbfs_datagram_socket();
  if (fd < 0) return -1;
  int failed = connect(fd, (struct sockaddr *)&address, sizeof address) != 0;
  int reason = errno;
  close(fd);
  errno = reason;
  return !failed ? 1 : reason == ECONNREFUSED ? 0 : -1;
}
