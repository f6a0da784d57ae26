using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <summary>One of a client's sockets: the one that it connected, or the twin that it was given. It has the socket.</summary>
internal sealed class ClientChannel : IDisposable
{
    private static readonly FrameFormat Format = new(VfioUserHeader.Length, VfioUserHeader.SizeOffset, VfioUserLimits.MaximumMessage);

    /// <summary>Most servers never want more than this, so the room begins so small.</summary>
    private const int SmallAnswer = 8192;

    private byte[] _answer = [];

    public ClientChannel(UnixSocket socket, ResourceLedger? ledger)
    {
        Socket = socket;
        Receiver = new FramedReceiver(socket, Format, ledger) { StopsAtPieces = true };
        Sender = new MessageSender(socket);
    }

    public UnixSocket Socket { get; }

    /// <summary>For whoever leads.</summary>
    public FramedReceiver Receiver { get; }

    public MessageSender Sender { get; }

    /// <summary>Room for an answer to a command of the server; for whoever leads.</summary>
    public Span<byte> Answer(int length)
    {
        if (_answer.Length < length)
        {
            _answer = new byte[length <= SmallAnswer ? SmallAnswer : VfioUserLimits.MaximumMessage];
        }

        return _answer.AsSpan(0, length);
    }

    public void Dispose()
    {
        Socket.Shutdown();
        Receiver.Dispose();
        Sender.Dispose();
        Socket.Dispose();
    }
}
