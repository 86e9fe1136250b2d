#pragma once

#include <curl/curl.h>
#include <string.h>

// Swift cannot call the variadic functions of libcurl. What is set here is set once, so nothing is to be chosen later.

/// Where the answer's bytes go; `count` grows beyond `room` when there were more.
struct ccurl_answer {
  char *_Nonnull bytes;
  size_t room;
  size_t count;
};

static inline size_t ccurl_take(char *_Nonnull data, size_t size, size_t count, void *_Nonnull user) {
  struct ccurl_answer *answer = user;
  size_t all = size * count;
  if (answer->count > answer->room || all > answer->room - answer->count) {
    answer->count = answer->room + 1;
    return 0;  // libcurl ends the transfer with CURLE_WRITE_ERROR
  }
  memcpy(answer->bytes + answer->count, data, all);
  answer->count += all;
  return all;
}

/// No signals (other threads run), no proxies (an instrument is on the own network), no redirects, HTTP only.
/// `total_ms` 0: as long as it takes.
static inline CURLcode ccurl_prepare(
    CURL *_Nonnull easy, const char *_Nonnull method, const char *_Nonnull url, const char *_Nonnull body,
    struct curl_slist *_Nullable headers, struct ccurl_answer *_Nonnull answer, char *_Nonnull error, long connect_ms,
    long total_ms) {
  curl_easy_reset(easy);
  error[0] = 0;
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, total_ms);
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
  if (strcmp(method, "GET") != 0) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body);
  }
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ccurl_take);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
  return curl_easy_setopt(easy, CURLOPT_URL, url);
}

static inline long ccurl_status(CURL *_Nonnull easy) {
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

/// Whether the transfer of this handle's one request is over; its result in `result`.
static inline int ccurl_is_done(CURLM *_Nonnull multi, CURLcode *_Nonnull result) {
  int left = 0;
  CURLMsg *message;
  while ((message = curl_multi_info_read(multi, &left))) {
    if (message->msg == CURLMSG_DONE) {
      *result = message->data.result;
      return 1;
    }
  }
  return 0;
}
