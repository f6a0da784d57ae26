using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>
/// The program that <see cref="KilledClientTests"/> starts and kills: it drives a <see cref="BusyFunction"/> with mapped and message DMA in flight, maps that
/// come and go, and interrupts. It begins when a line comes in and says so when everything is under way.
/// </summary>
internal static class LoadClient
{
    private const ulong Page = 4096;
    private const ulong MessagePages = 32;
    private const int MappedPages = 16;

    private static int Main(string[] arguments)
    {
        Console.In.ReadLine();
        using WireClient client = WireClient.Connect(arguments[0]);
        using MemoryFile memory = Handles.Memory(MappedPages * Page);
        EventDescriptor[] events = Handles.Events(8);
        Do(client, Cmd.RegionWrite, [.. WireClient.Access(4, Cmd.ConfigRegion, 2), 7, 0]);
        Do(client, Cmd.DmaMap, WireClient.Map(MessagePages * Page, MessagePages * Page));
        for (ulong round = 0; ; round++)
        {
            ulong page = round % MappedPages;
            Do(client, Cmd.DmaMap, WireClient.Map(page * Page, Page, offset: page * Page), memory.Number());
            if (round % 16 == 0)
            {
                Do(client, Cmd.SetIrqs, WireClient.Irqs(4 | 32, 2, 0, 8), events.Numbers());
            }

            for (int i = 0; i < 4; i++)
            {
                byte target = (byte)(i % 2 == 0 ? page : MessagePages + round % MessagePages);
                Do(client, Cmd.RegionWrite, [.. WireClient.Access((ulong)(i % 3) * 8, 0, 1), target]);
            }

            Do(client, Cmd.RegionRead, WireClient.Access(0, 0, 4));
            if (round == 20)
            {
                Console.Out.WriteLine("under way");
            }

            if (round % 2 == 0)
            {
                Do(client, Cmd.DmaUnmap, WireClient.Unmap(page * Page, Page));
            }
        }
    }

    /// <summary>Sends a command and answers the server's own until the reply comes.</summary>
    private static void Do(WireClient client, ushort command, byte[] body, params int[] descriptors)
    {
        ushort id = client.Send(command, body, 0, descriptors);
        while (true)
        {
            WireMessage message = client.Receive();
            if (!message.IsCommand)
            {
                Assert.Equal((id, command), (message.Id, message.Command));
                return;
            }

            client.Answer(message, message.Command == Cmd.DmaRead ? [.. message.Body, .. new byte[message.U64(8)]] : message.Body[..16]);
        }
    }
}
