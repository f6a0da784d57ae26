using Penstock.Interop;

namespace Penstock.Devices.Tests;

/// <summary>A card in a slot, its ports reached as a guest's I/O instructions reach them.</summary>
internal sealed class Idio16Slot : IDisposable
{
    private const int Bar = 2;

    internal Idio16Slot(ushort inputs = 0)
    {
        Card = new Idio16Function(inputs);
        Card.Attach(Port);
    }

    internal RecordingPort Port { get; } = new();

    internal Idio16Function Card { get; }

    internal byte In(ulong port)
    {
        Span<byte> data = stackalloc byte[1];
        using (Port.Strand.EnterRegisterCall())
        {
            Assert.Equal(Errno.None, Card.ReadBar(Bar, port, data));
        }

        return data[0];
    }

    internal void Out(ulong port, byte value)
    {
        using (Port.Strand.EnterRegisterCall())
        {
            Assert.Equal(Errno.None, Card.WriteBar(Bar, port, [value]));
        }
    }

    internal void Reset()
    {
        using (Port.Strand.EnterRegisterCall())
        {
            Card.Reset(Penstock.Pci.PciResetKind.Bus);
        }
    }

    public void Dispose() => Port.Dispose();
}
