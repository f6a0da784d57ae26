using System.Globalization;

namespace Penstock.Vfio.Tests.Model;

/// <summary>One step of a script; what the numbers mean depends on the kind. Its text form can be read back.</summary>
internal readonly record struct Step(StepKind Kind, int A = 0, int B = 0, int C = 0, int D = 0, int E = 0)
{
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Kind} {A} {B} {C} {D} {E}");

    internal static Step Parse(string line)
    {
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        int Number(int i) => i < words.Length ? int.Parse(words[i], CultureInfo.InvariantCulture) : 0;
        return new Step(Enum.Parse<StepKind>(words[0]), Number(1), Number(2), Number(3), Number(4), Number(5));
    }

    internal static IReadOnlyList<Step> ParseAll(string script) =>
        [.. script.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(Parse)];

    /// <summary>A random step, likelier where more can happen.</summary>
    internal static Step Random(Random random)
    {
        int Of(int n) => random.Next(n);
        return random.Next(230) switch
        {
            < 8 => new Step(StepKind.OpenContainer, Of(Places.Containers)),
            < 10 => new Step(StepKind.CloseContainer, Of(Places.Containers)),
            < 24 => new Step(StepKind.SetIommu, Of(Places.Containers), Of(2)),
            < 46 => new Step(StepKind.Map, Of(Places.Containers), Of(Places.Pages), Of(5), Of(Places.MemoryPages - 5), 1 + Of(3)),
            < 58 => new Step(StepKind.Unmap, Of(Places.Containers), Of(Places.Pages), Of(9), Of(12) == 0 ? 1 : 0),
            < 72 => new Step(StepKind.OpenGroup, Of(Places.GroupFiles), Of(Places.Groups)),
            < 74 => new Step(StepKind.CloseGroup, Of(Places.GroupFiles)),
            < 90 => new Step(StepKind.SetContainer, Of(Places.GroupFiles), Of(Places.Containers)),
            < 93 => new Step(StepKind.UnsetContainer, Of(Places.GroupFiles)),
            < 115 => new Step(StepKind.OpenDevice, Of(Places.DeviceFiles), Of(Places.GroupFiles), Of(Places.Devices)),
            < 121 => new Step(StepKind.CloseDevice, Of(Places.DeviceFiles)),
            < 129 => new Step(StepKind.Register, Of(Places.Devices)),
            < 131 => new Step(StepKind.Unregister, Of(Places.Devices)),
            < 136 => new Step(StepKind.OpenIommufd, Of(Places.Iommufds)),
            < 137 => new Step(StepKind.CloseIommufd, Of(Places.Iommufds)),
            < 147 => new Step(StepKind.MapIoas, Of(Places.Iommufds), Of(Places.Pages), Of(5), Of(Places.MemoryPages - 5), 1 + Of(3)),
            < 152 => new Step(StepKind.UnmapIoas, Of(Places.Iommufds), Of(Places.Pages), Of(9), Of(12) == 0 ? 1 : 0),
            < 160 => new Step(StepKind.OpenCdev, Of(Places.CdevFiles), Of(Places.Devices)),
            < 162 => new Step(StepKind.CloseCdev, Of(Places.CdevFiles)),
            < 174 => new Step(StepKind.Bind, Of(Places.CdevFiles), Of(Places.Iommufds)),
            < 186 => new Step(StepKind.Attach, Of(Places.CdevFiles)),
            < 190 => new Step(StepKind.Detach, Of(Places.CdevFiles)),
            < 194 => new Step(StepKind.CreateMachine, Of(Places.Machines)),
            < 196 => new Step(StepKind.DestroyMachine, Of(Places.Machines)),
            < 202 => new Step(StepKind.SetGroupMachine, Of(Places.GroupFiles), Of(Places.Machines + 1)),
            < 207 => new Step(StepKind.SetCdevMachine, Of(Places.CdevFiles), Of(Places.Machines + 1)),
            < 214 => new Step(StepKind.AddGroupToMachine, Of(Places.HeldFiles), Of(Places.GroupFiles), Of(Places.Machines)),
            < 221 => new Step(StepKind.AddCdevToMachine, Of(Places.HeldFiles), Of(Places.CdevFiles), Of(Places.Machines)),
            < 229 => new Step(StepKind.DelFromMachine, Of(Places.HeldFiles)),
            _ => new Step(StepKind.Kill, Of(Places.Users), Of(1 << 20)),
        };
    }
}
