using System.Runtime.InteropServices;

namespace Penstock.S390.Tests.Firmware;

public sealed unsafe class IndicatorBitsTests : IDisposable
{
    private const int Bits = 512;

    private readonly nint _memory = (nint)NativeMemory.AlignedAlloc(Bits / 8, 8);

    public IndicatorBitsTests() => Span.Clear();

    private Span<byte> Span => new((void*)_memory, Bits / 8);

    public void Dispose() => NativeMemory.AlignedFree((void*)_memory);

    [Theory]
    [InlineData(0u, 0, 0x80)]
    [InlineData(7u, 0, 0x01)]
    [InlineData(8u, 1, 0x80)]
    [InlineData(31u, 3, 0x01)]
    [InlineData(34u, 4, 0x20)]
    [InlineData(511u, 63, 0x01)]
    public void TestAndSet_Bit_IsCountedFromTheMostSignificantOfTheFirstByte(uint bit, int at, byte value)
    {
        Assert.False(IndicatorBits.TestAndSet(_memory, bit));
        Assert.True(IndicatorBits.TestAndSet(_memory, bit));
        Assert.Equal(value, Span[at]);
        Assert.Equal(1, Span.ToArray().Count(static b => b != 0));
        Assert.True(IndicatorBits.Test(_memory, bit));
        Assert.True(IndicatorBits.TestAndClear(_memory, bit));
        Assert.False(IndicatorBits.TestAndClear(_memory, bit));
        Assert.False(IndicatorBits.Test(_memory, bit));
        Assert.Equal(0, Span[at]);
    }

    [Fact]
    public void TestAndSet_AddressAtEachByte_TouchesOnlyItsOwn()
    {
        for (int at = 0; at < 8; at++)
        {
            Span.Clear();
            IndicatorBits.TestAndSet(_memory + at, 9);
            Assert.Equal(0x40, Span[at + 1]);
            Assert.Equal(1, Span.ToArray().Count(static b => b != 0));
        }
    }

    [Fact]
    public void TakeNext_RandomBits_EachOnceAndInOrder()
    {
        var random = new Random(7);
        for (int round = 0; round < 200; round++)
        {
            var set = new SortedSet<int>(Enumerable.Range(0, random.Next(40)).Select(_ => random.Next(Bits)));
            foreach (int bit in set)
            {
                IndicatorBits.TestAndSet(_memory, (uint)bit);
            }

            int from = random.Next(Bits);
            List<int> taken = [];
            for (int at = from; (at = IndicatorBits.TakeNext(_memory, at, Bits)) >= 0;)
            {
                taken.Add(at);
            }

            Assert.Equal(set.Where(b => b >= from), taken);
            Assert.Equal(set.Where(b => b < from), Enumerable.Range(0, Bits).Where(b => IndicatorBits.TestAndClear(_memory, (uint)b)));
        }
    }
}
