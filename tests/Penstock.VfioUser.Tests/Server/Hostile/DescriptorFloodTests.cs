using Microsoft.Win32.SafeHandles;
using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>What cannot be told apart any more ends the connection.</summary>
public sealed class DescriptorFloodTests
{
    [Fact]
    public void Descriptors_FloodInsideOneMessage_ClosesWithReasonAndLeavesNone()
    {
        using var served = new ServedFunction();
        using WireClient client = served.Connect();
        (SafeFileHandle read, SafeFileHandle write) = Handles.Pipe();
        using (read)
        {
            byte[] message = WireClient.Message(1, Cmd.RegionWrite, new byte[64]);
            int[] many = [.. Enumerable.Repeat(write.Number(), UnixSocket.MaximumDescriptors)];
            try
            {
                for (int at = 0; at < 20; at++)
                {
                    client.SendBytes(message.AsSpan(at, 1), many);
                }
            }
            catch (SystemCallException gone) when (gone.Errno is Errno.EPIPE or Errno.ECONNRESET)
            {
                // It ended us earlier than we could say everything.
            }

            write.Dispose();
            SessionEnd end = served.NextEnd();
            Assert.Equal(SessionEndKind.ProtocolViolation, end.Kind);
            Assert.Contains("descriptors", end.Reason, StringComparison.Ordinal);
            Handles.AssertAllClosed(read);
            served.AssertBalanced();
        }
    }
}
