namespace Penstock.Vfio.Tests.Model;

/// <summary>How much there is of everything: few places, so that steps meet.</summary>
internal static class Places
{
    internal const int Containers = 3;
    internal const int GroupFiles = 5;
    internal const int DeviceFiles = 8;
    internal const int Iommufds = 2;
    internal const int CdevFiles = 4;
    internal const int Machines = 2;

    /// <summary>Files that machines keep open.</summary>
    internal const int HeldFiles = 4;
    internal const int Users = 2;
    internal const int Groups = 3;
    internal const int Devices = 5;
    internal const int Pages = 16;
    internal const int MemoryPages = 40;
    internal const int Page = 4096;

    /// <summary>Pages that the last group cannot use.</summary>
    internal const int ReservedFirst = 8;
    internal const int ReservedLast = 11;
    internal const int GroupWithReserved = 2;

    /// <summary>Group of a device.</summary>
    internal static int GroupOf(int device) => device % Groups;

    internal static bool IsReserved(int group, int page, int pages) =>
        group == GroupWithReserved && page <= ReservedLast && page + pages - 1 >= ReservedFirst;

    /// <summary>The closing steps of a user's death. Users hold every other place; the order comes from a number.</summary>
    internal static Step[] Closings(int user, int order)
    {
        var steps = new List<Step>();
        void Add(StepKind kind, int places)
        {
            for (int i = user; i < places; i += Users)
            {
                steps.Add(new Step(kind, i));
            }
        }

        Add(StepKind.CloseContainer, Containers);
        Add(StepKind.CloseGroup, GroupFiles);
        Add(StepKind.CloseDevice, DeviceFiles);
        Add(StepKind.CloseIommufd, Iommufds);
        Add(StepKind.CloseCdev, CdevFiles);
        Add(StepKind.DelFromMachine, HeldFiles);
        Step[] closings = [.. steps];
        new Random(order).Shuffle(closings);
        return closings;
    }
}
