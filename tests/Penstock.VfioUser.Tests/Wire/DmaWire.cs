namespace Penstock.VfioUser.Tests;

/// <summary>The client's part in message DMA.</summary>
internal static class DmaWire
{
    /// <summary>Where <see cref="Prepare"/> offers 4 MiB without a descriptor.</summary>
    public const ulong Base = 0x10_0000;

    public static WireClient Prepare(ServedFunction served, string json = WireClient.QemuJson)
    {
        WireClient client = served.ConnectEnabled(json);
        client.Succeed(Cmd.DmaMap, WireClient.Map(Base, 4 << 20));
        return client;
    }

    public static WireMessage ReceiveCommand(WireClient client, ushort command)
    {
        WireMessage message = client.Receive();
        Assert.Equal((command, 0u), (message.Command, message.Flags));
        return message;
    }

    public static byte[] Pattern(int start, int count)
    {
        byte[] bytes = new byte[count];
        for (int i = 0; i < count; i++)
        {
            bytes[i] = (byte)((start + i) * 31 >> 3);
        }

        return bytes;
    }
}
