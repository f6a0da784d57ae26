using System.Collections.Concurrent;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Iommu;

/// <summary>A function's firmware that writes down what it is asked, and answers what a test wants.</summary>
internal sealed class FakeHostFunction(string name = "fake", ulong first = 0x1_0000_0000, ulong last = 0x1ff_ffff_ffff) : IZpciHostFunction
{
    public string Name => name;

    public IovaRange DmaWindow { get; private set; } = new(first, last);

    public bool RefreshesOnMap { get; init; }

    public bool IsInternalSharedMemory { get; init; }

    public ConcurrentQueue<(ulong Start, ulong Length)> Refreshes { get; } = new();

    public List<(ulong First, ulong Last, ulong Iota)> Registrations { get; } = [];

    public int Deregistrations { get; private set; }

    /// <summary>What is registered; null while DMA is blocked.</summary>
    public ulong? Iota { get; private set; }

    public ZpciAnswer RegisterAnswer { get; set; }

    /// <summary>What a refresh answers; null: done.</summary>
    public Func<ulong, ulong, ZpciAnswer>? OnRefresh { get; set; }

    public static ZpciAnswer Error(ZpciStatus status) => new(ZpciConditionCode.Error, status);

    public void LimitDma(ulong last) => DmaWindow = DmaWindow with { Last = last };

    public ZpciAnswer RegisterIoat(ulong first, ulong last, ulong iota)
    {
        Registrations.Add((first, last, iota));
        if (RegisterAnswer == ZpciAnswer.Done)
        {
            Assert.Null(Iota);
            Iota = iota;
        }

        return RegisterAnswer;
    }

    public ZpciAnswer DeregisterIoat()
    {
        Deregistrations++;
        Iota = null;
        return ZpciAnswer.Done;
    }

    public ZpciAnswer Refresh(ulong start, ulong length)
    {
        Refreshes.Enqueue((start, length));
        return OnRefresh?.Invoke(start, length) ?? ZpciAnswer.Done;
    }
}
