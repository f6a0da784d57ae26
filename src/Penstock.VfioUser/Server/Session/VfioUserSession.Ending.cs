using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>How it ends, and what is told of a client. Apart from the hot calls, as texts that are put together would cost each message a frame of their parts.</content>
internal sealed unsafe partial class VfioUserSession
{
    private void RefuseLength(in VfioUserHeader header)
    {
        ReplyError(header, Errno.EINVAL);
        End(SessionEndKind.ProtocolViolation, $"a message of {header.Size} bytes; 16 to {VfioUserLimits.MaximumMessage} are possible, so the stream is out of step");
    }

    private void EndBroken(Errno errno) => End(
        SessionEndKind.ClientVanished,
        errno == Errno.None ? "the client closed the connection inside a message" : $"the connection broke: {errno}");

    private void EndUnsent(Errno errno) => End(SessionEndKind.ClientVanished, $"sending failed: {errno}");

    private void End(SessionEndKind kind, string reason) => _end ??= new SessionEnd(kind, reason);

    private void Log(string line) => _options.Log?.Invoke(line);

    /// <summary>A client decides how many of its commands are wrong, but not how long the log becomes.</summary>
    private Errno TellRefusal(VfioUserCommand command, Exception why)
    {
        (Errno errno, string words) = why switch
        {
            VfioException refused => (refused.Errno, refused.Message),
            SystemCallException failed => (failed.Errno, failed.Message),
            _ => (Errno.EIO, $"fault: {why}"),
        };
        if (++_refusals <= RefusalsTold)
        {
            Log($"{command}: {words}{(_refusals < RefusalsTold ? "" : "; further ones of this client are not told")}");
        }

        return errno;
    }
}
