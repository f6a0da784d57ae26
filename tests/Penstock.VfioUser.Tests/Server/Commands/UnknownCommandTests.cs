using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Commands that are not spoken: 0, 14 and up, among them one that needs a device that migrates.</summary>
public sealed class UnknownCommandTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(14)]
    [InlineData(19)]
    [InlineData(20)]
    [InlineData(255)]
    [InlineData(0x8009)]
    [InlineData(65535)]
    public void Command_NotSpoken_IsEinvalWithAnyBodyAndTheSessionGoesOn(ushort command)
    {
        using var served = new ServedFunction();
        using WireClient client = served.Connect();
        foreach (int length in new[] { 0, 1, 8, 24, 4096 })
        {
            Assert.Equal(Errno.EINVAL, client.Try(command, new byte[length]));
            client.Send(command, new byte[length], Cmd.NoReply);
        }

        client.AssertAlive();
    }
}
