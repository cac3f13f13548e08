// The files of apps/pages/, put into the program when it is built.
#pragma once

namespace swath::app {

extern const char* const kSearchHtml;
extern const char* const kSearchCss;
extern const char* const kSearchJs;
extern const char* const kReportCss;
extern const char* const kReportJs;
extern const char* const kReportJsSha256;  // of kReportJs, hexadecimal

}  // namespace swath::app
