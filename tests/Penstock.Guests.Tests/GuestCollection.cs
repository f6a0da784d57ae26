namespace Penstock.Guests.Tests;

/// <summary>Guests run one after another: two emulated ones at once would only slow each other down.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class GuestCollection : ICollectionFixture<GuestLab>
{
    public const string Name = "guests";
}
