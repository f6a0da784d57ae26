namespace Penstock.Vfio.Tests;

/// <summary>The sorted lists of a container's mappings beside a list that is searched from end to end.</summary>
public sealed class Type1MappingsTests
{
    private const ulong Page = 4096;
    private const int Steps = 30_000;

    [Theory]
    [InlineData(1, 40)]
    [InlineData(2, 400)]
    [InlineData(3, 4000)]
    [InlineData(4, 20_000)]
    public void RandomChanges_FindWhatTheNaiveModelFinds(int seed, int places)
    {
        var random = new Random(seed);
        ProcessMemory memory = ProcessMemory.Allocate(Page);
        var payer = new Type1Payer(Rig.User);
        var mappings = new Type1Mappings();
        var model = new SortedList<ulong, Type1Mapping>();
        Type1Mapping? free = null;
        for (int step = 0; step < Steps; step++)
        {
            // It grows, shrinks to nearly nothing, and grows again, at places that come back.
            bool grows = step / (Steps / 6) % 2 == 0;
            ulong iova = (ulong)random.Next(places) * 3 * Page;
            if (random.Next(8) < (grows ? 7 : 1) && !model.ContainsKey(iova))
            {
                Type1Mapping mapping = free ?? new Type1Mapping();
                free = mapping.NextFree;
                mapping.Begin(new DmaMapRequest(iova, (1 + (ulong)random.Next(3)) * Page, DmaAccess.Read, new DmaSource(memory, 0), payer.Caller), memory, 0, payer);
                mappings.Add(mapping);
                model.Add(iova, mapping);
            }
            else if (model.Count != 0)
            {
                Type1Mapping mapping = model.Values[random.Next(model.Count)];
                mappings.Remove(mapping);
                model.Remove(mapping.Iova);
                mapping.End(free);
                free = mapping;
            }

            ulong asked = (ulong)random.Next(places * 3) * Page;
            int from = FirstFrom(model, asked);
            Type1Mapping? at = from < model.Count && model.Keys[from] == asked ? model.Values[from] : from != 0 ? model.Values[from - 1] : null;
            at = at?.Last >= asked ? at : null;
            Assert.Same(at, mappings.At(asked));
            Assert.Equal(at is not null, mappings.Touches(new IovaRange(asked, asked)));
            Assert.Same(from < model.Count ? model.Values[from] : null, mappings.From(asked));
            Assert.Equal(model.Count, mappings.Count);
        }

        Assert.Equal(model.Values, mappings.All);
        memory.Release();
    }

    private static int FirstFrom(SortedList<ulong, Type1Mapping> model, ulong iova)
    {
        int low = 0;
        int high = model.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = model.Keys[middle] < iova ? (middle + 1, high) : (low, middle);
        }

        return low;
    }
}
