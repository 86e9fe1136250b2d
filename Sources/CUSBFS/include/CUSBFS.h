// What the mock of usbfs needs from C: the numbers and shapes of `linux/usbdevice_fs.h`, whose macros Swift cannot
// import, and a terminal that stands for a device file.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The ioctl requests of usbfs that are served.
typedef enum {
  CUSBFS_OTHER = 0,
  CUSBFS_CONTROL,
  CUSBFS_BULK,
  CUSBFS_RESET_ENDPOINT,
  CUSBFS_SET_INTERFACE,
  CUSBFS_SET_CONFIGURATION,
  CUSBFS_GET_DRIVER,
  CUSBFS_SUBMIT,
  CUSBFS_DISCARD,
  CUSBFS_REAP,
  CUSBFS_REAP_NO_DELAY,
  CUSBFS_CLAIM,
  CUSBFS_RELEASE,
  CUSBFS_CONNECT_INFO,
  CUSBFS_IOCTL,
  CUSBFS_RESET,
  CUSBFS_CLEAR_HALT,
  CUSBFS_DISCONNECT,
  CUSBFS_CONNECT,
  CUSBFS_GET_CAPABILITIES,
  CUSBFS_DISCONNECT_CLAIM,
  CUSBFS_GET_SPEED,
} cusbfs_kind;

cusbfs_kind cusbfs_request_kind(uint64_t request);

/// `struct usbdevfs_urb` without isochronous packets; addresses are those of the program that asks.
typedef struct {
  uint8_t type;
  uint8_t endpoint;
  int32_t status;
  uint32_t flags;
  uint64_t buffer;
  int32_t buffer_length;
  int32_t actual_length;
  int32_t start_frame;
  int32_t number_of_packets;
  int32_t error_count;
  uint32_t signal;
  uint64_t context;
} cusbfs_urb;

/// `struct usbdevfs_ctrltransfer`.
typedef struct {
  uint8_t setup[8];
  uint32_t timeout_ms;
  uint64_t data;
} cusbfs_control;

/// `struct usbdevfs_bulktransfer`.
typedef struct {
  uint32_t endpoint;
  uint32_t length;
  uint32_t timeout_ms;
  uint64_t data;
} cusbfs_bulk;

/// `struct usbdevfs_ioctl`: a request for the driver of an interface.
typedef struct {
  int32_t interface;
  int32_t code;
  uint64_t data;
} cusbfs_ioctl;

/// `struct usbdevfs_disconnect_claim`.
typedef struct {
  uint32_t interface;
  uint32_t flags;
  char driver[256];
} cusbfs_disconnect_claim;

enum {
  CUSBFS_TYPE_ISOCHRONOUS = 0,
  CUSBFS_TYPE_INTERRUPT = 1,
  CUSBFS_TYPE_CONTROL = 2,
  CUSBFS_TYPE_BULK = 3,
  CUSBFS_FLAG_SHORT_NOT_OK = 0x01,
  CUSBFS_FLAG_ZERO_PACKET = 0x40,
  CUSBFS_ONLY_IF_DRIVER = 0x01,
  CUSBFS_EXCEPT_DRIVER = 0x02,
  CUSBFS_GET_DRIVER_BYTES = 260,
  CUSBFS_CONNECT_INFO_BYTES = 8,
};

/// What a high-speed port of today offers: zero packets, transfers of any size in one piece, and reaping after the
/// device is gone.
uint32_t cusbfs_capabilities(void);

/// A raw pseudo-terminal whose output is stopped, in no case a controlling terminal.
/// `name` takes the path of its slave. 0, or -1 and errno.
int cusbfs_open_terminal(int *_Nonnull master, int *_Nonnull slave, char *_Nonnull name, size_t size);
/// Lets output flow or stops it: whether the slave polls as writable, in every program that has it open.
void cusbfs_let_flow(int slave, int flows);
/// Closes a descriptor of such a terminal.
void cusbfs_close(int fd);

/// A datagram socket for `cusbfs_send_datagram`; -1 and errno.
int cusbfs_datagram_socket(void);
/// Sends to the Unix datagram socket at `path` without waiting; 0, or -1 and errno.
int cusbfs_send_datagram(int fd, const char *_Nonnull path, const void *_Nonnull bytes, size_t count);
/// 1 when somebody has the Unix datagram socket at `path` open, 0 when nobody has, -1 and errno when it is not known.
int cusbfs_is_listened_to(const char *_Nonnull path);
