using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <content>A socket of its own for the server's commands, when the client asks for one.</content>
internal sealed unsafe partial class VfioUserSession
{
    private TwinConnection? _twin;

    private DmaMessageChannel CreateChannel(UnixSocket socket, FramedReceiver receiver, MessageSender sender)
    {
        var channel = new DmaMessageChannel(socket, receiver, sender, _observer, _options.PeerTimeout)
        {
            PeerStoppedReading = StopNotReading,
            StrayReply = TellStrayReply,
        };
        if (_migrates)
        {
            channel.IsDeviceStopped = IsDeviceStopped;
        }

        return channel;
    }

    /// <summary>Makes the second connection, before anything could be sent on it.</summary>
    /// <returns>Which descriptor of the reply is the client's end; null when there is none.</returns>
    private int? OfferTwin()
    {
        if (!_limits.TwinSocket || _limits.MaximumDescriptors == 0)
        {
            return null;
        }

        try
        {
            _twin = new TwinConnection(_endpoint.DeviceName, Format, _observer, _endpoint.Host.Ledger);
        }
        catch (SystemCallException shortage)
        {
            Log($"the client gets no twin socket: {shortage.Message}");
            return null;
        }

        _dmaChannel.Dispose();
        _dmaChannel = CreateChannel(_twin.Socket, _twin.Receiver, _twin.Sender);
        return (int)Give(_twin.ClientsEnd);
    }

    /// <summary>Replies belong to the socket of their commands.</summary>
    private void TakeReply(in VfioUserHeader header, ReadOnlySpan<byte> body)
    {
        if (_twin is null)
        {
            _dmaChannel.TakeReply(header, body);
        }
        else
        {
            TellStrayReply(header);
        }
    }

    /// <summary>
    /// The one rule that a single connection keeps by itself: a reply that says "stopped" or "reset" is not followed by a transfer from before.
    /// </summary>
    private void SettleTwin() => _twin?.WaitForSends();
}
