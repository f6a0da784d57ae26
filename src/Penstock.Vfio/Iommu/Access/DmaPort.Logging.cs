using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>
/// Remembering what one device writes. Meanwhile no memory can be borrowed through its port, because nobody sees what is written through
/// a borrowed pointer: copies and holds mark the pages when they are done.
/// </content>
public sealed partial class DmaPort
{
    private volatile DmaWriteLog? _log;
    private LoggingOperations? _logging;

    /// <summary>DMA logging for a device whose only way to memory is this port. Until it is started it costs nothing.</summary>
    public LoggingOperations Logging => _logging ??= new LoggingOperations { Start = StartLogging, Stop = StopLogging, Report = ReportLogged };

    internal bool IsLogging => _log is not null;

    /// <summary>The device has written, or may have.</summary>
    internal void Written(ulong iova, ulong length) => _log?.Mark(iova, length);

    private ulong StartLogging(IReadOnlyList<IovaRange> ranges, ulong pageSize)
    {
        if (_log is not null)
        {
            throw new VfioException(Errno.EINVAL, "starting DMA logging", "it is started already; stop it first");
        }

        var log = DmaWriteLog.Create(ranges, pageSize);
        if (Interlocked.CompareExchange(ref _log, log, null) is not null)
        {
            throw new VfioException(Errno.EINVAL, "starting DMA logging", "somebody else has just started it");
        }

        Judge();

        // What was lent before must be given back before the user's first copy of the memory.
        Drain();
        return log.PageSize;
    }

    private void StopLogging()
    {
        _log = null;
        Judge();
    }

    private void ReportLogged(IovaRange range, Action<IovaRange> receiver)
    {
        DmaWriteLog log = _log ?? throw new VfioException(Errno.EINVAL, "reading what a device has written", "DMA logging is not started");
        log.Report(range, receiver);
    }
}
